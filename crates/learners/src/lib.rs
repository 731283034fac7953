//! From a dataset to a model: boosting, forests, the linfa and smartcore learners, metrics
