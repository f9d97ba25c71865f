"""The embedders: one LightningModule a file, each read from top to bottom.

Every model offers ``embed_images(images: float32 [B, 3, H, W] in [0, 1]) -> [B, D]``, unit vectors; CLIP adds
``embed_texts``. Evaluation and export know nothing else of a model.
"""
