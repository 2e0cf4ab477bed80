"""What starts runs: partitions, jobs and sensors."""
