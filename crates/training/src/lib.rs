//! The job: files to histories to dataset to a calibrated, evaluated, published model
