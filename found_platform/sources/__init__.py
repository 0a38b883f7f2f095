"""Sources: a YAML file that says where a company's events lie, the scan that turns them into the contract, and the simulator."""
