"""The page "How good is it?": separation, honesty, workload, where the maps point, for whom the model fails."""
