"""Published systems: settings for each, and data of their own (`study_data`)."""
