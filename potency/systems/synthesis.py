"""Area E: augmented microscopy and synthesis."""

from __future__ import annotations

from potency.systems.recipe import row

ROWS = (
    row(
        "rfgan", "Registration-free GAN super-resolution (RFGANM)",
        "low-resolution training data made from high-resolution by a degradation model; GAN",
        (("SSIM", "> .9", "0.38 Gpx slide at 1 um; large field in < 1 s"),),
        "degradation model (blur, down-sampling, noise)", "GAN", "PSNR and SSIM against bicubic", "resolution target",
        "tiled gigapixel run",
    ),
    row(
        "denoise", "Content-aware restoration; axial under-sampling",
        "paired (CARE) and self-supervised (Noise2Void type)", (),
        "both modes", "PSNR and SSIM", "uncertainty",
    ),
    row(
        "in-silico-label", "Label-free to fluorescence (Google 2018; Allen 2018)",
        "pixel-wise prediction; conditional generation", (),
        "brightfield or phase to nuclear stain", "Pearson r per image",
    ),
    row(
        "cgan", "Cross-modality translation, stain normalisation, augmentation, domain adaptation",
        "conditional and unpaired GAN", (),
        "paired and unpaired translation", "does synthetic data raise a real classifier's score (ablation)",
    ),
    row(
        "multi-stylegan", "Time-lapse synthesis, yeast in traps, brightfield + GFP",
        "Multi-StyleGAN, sequences of 3 frames, two domains",
        (("IS", "18.64 and 24.37", "as printed in the review for the two channels; read as Frechet distances"),),
        "sequence generator with two domains", "Frechet distance with a named encoder",
        "nearest-neighbour memorisation check",
    ),
)  # fmt: skip
