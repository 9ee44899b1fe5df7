"""Quality of images: is each sharp, evenly lit, clean and full enough to be learned from?"""
