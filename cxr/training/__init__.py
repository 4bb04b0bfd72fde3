"""From a folder of labelled films to a bundle: fine-tuning, calibration, evaluation."""
