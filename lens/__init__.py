"""Shopping Lens: train, compare and serve embedding models of product images."""
