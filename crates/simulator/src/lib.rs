//! Seeded SaaS onboarding histories with planted, documented causes
