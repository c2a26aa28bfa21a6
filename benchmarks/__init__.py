"""Questions about edgekd's own performance, answered by measurement: python -m benchmarks [NAME ...]."""
