//! The job: files to histories to dataset to a calibrated, evaluated, published model.

pub mod describe;
pub mod evaluation;
pub mod export;
pub mod fit;
pub mod import;
pub mod init;
pub mod job;
pub mod read;
pub mod report;
pub mod rows;
pub mod score;
pub mod train;
pub mod tune;
pub mod watch;
pub mod write;
