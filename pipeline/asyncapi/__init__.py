"""What are vendors promised, in forms that machines and people read? Made from `pipeline.vendor_events`."""
