//! Versions, aliases, promotion gates and the audit trail
