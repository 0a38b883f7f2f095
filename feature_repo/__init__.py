"""What a feature is: the Feast entity, sources, views and service. Declarations only; nothing is computed here."""
