"""The online stage: data sets over a cache, encoders, training and evaluation."""
