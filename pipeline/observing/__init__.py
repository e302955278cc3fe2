"""What the operations team looks at: dashboards and the list of metrics, made from the models."""
