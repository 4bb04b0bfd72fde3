"""What leaves the app on paper."""
