"""Quality of images: how sharp, evenly lit, clean and full each one is, before anything is learned from it."""
