"""Partners' plugins: catalogue, review, signed distribution and installation. Stands on skills."""
