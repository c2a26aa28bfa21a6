"""Ways to spoil samples, for each kind of input: what a student does where it saw nothing like it."""
