"""What the smaller commands do, apart from printing: plan, init, bench, compare, doctor."""
