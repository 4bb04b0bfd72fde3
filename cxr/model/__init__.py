"""Backbones, the classifier, the bundle on disk, the engine that serves it, and heatmaps.

`bundle`, `card`, `engine`, `heatmap` and `verdict` are the serving path and import neither TensorFlow nor Keras.
"""
