"""Use cases: one typed request and one typed result for each thing that a person, a program or a schedule can ask."""
