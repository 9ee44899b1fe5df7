"""What figures are called and what they say, in plain words."""

from __future__ import annotations

# metric: (name, what it says in plain words, which way is better: "up", "down", or "zero" = nearer to zero)
METRICS: dict[str, tuple[str, str, str]] = {
    "balanced_accuracy": ("Balanced accuracy", "the share found right, averaged over the classes so that a rare class "
                          "counts as much as a common one; guessing gives 1 / number of classes", "up"),
    "accuracy": ("Accuracy", "the share of all images answered right; flattering when one class is very common", "up"),
    "macro_f1": ("Macro F1", "per class the balance of precision and recall, then the mean over the classes", "up"),
    "macro_precision": ("Macro precision", "precision averaged over the classes", "up"),
    "macro_recall": ("Macro recall", "recall averaged over the classes; the same as balanced accuracy", "up"),
    "auc": ("ROC AUC (macro)", "the chance that an image of a class scores higher for that class than an image of "
            "another, averaged over the classes; .5 is guessing, 1 is perfect", "up"),
    "average_precision": ("PR AUC (macro)", "the area under the precision-recall curve, averaged over the classes; "
                          "guessing gives the share of the class, not .5", "up"),
    "micro_f1": ("Micro F1", "the balance of precision and recall of all decisions of all classes together", "up"),
    "exact_match": ("Whole set right", "the share of images of which every class that is there is named, and no other",
                    "up"),
    "hamming_loss": ("Wrong decisions (Hamming loss)", "the share of all decisions, one a class and image, that are "
                     "wrong; flattering where most classes are rare", "down"),
    "kappa": ("Cohen's kappa", "agreement beyond what the class shares alone would give; 0 is guessing", "up"),
    "weighted_kappa": ("Weighted kappa", "Cohen's kappa where a near miss on the ordered scale costs less", "up"),
    "mcc": ("Matthews correlation", "correlation between truth and answer over all cells of the confusion matrix; "
            "0 is guessing", "up"),
    "log_loss": ("Log loss", "how surprised the stated probabilities were by the truth; sure and wrong costs most",
                 "down"),
    "brier": ("Brier score", "mean squared distance between the stated probabilities and the truth", "down"),
    "ece": ("Calibration error (ECE)", "how far, on average, '80 % sure' is from being right 80 % of the time", "down"),
    "coverage": ("Coverage of sets", "the share of images whose set of plausible classes holds the truth; sets are "
                 "made to reach 90 % for images of new groups", "up"),
    "set_size": ("Classes in a set", "how many classes a set of plausible classes names; 1 is one answer", "down"),
    "abstained": ("Abstained", "the share of images whose set names more than one class: no single answer", "down"),
    "accuracy_kept": ("Accuracy of single answers", "the share found right of images whose set names one class", "up"),
    "precision": ("Precision", "of the images called this class, the share that truly is", "up"),
    "recall": ("Recall", "of the images truly of this class, the share found", "up"),
    "f1": ("F1", "the balance (harmonic mean) of precision and recall", "up"),
    "mae": ("Mean absolute error", "the typical distance between answer and truth, in the unit of the truth", "down"),
    "rmse": ("Root mean squared error", "like the mean absolute error, but large misses weigh more", "down"),
    "mape": ("Mean relative error (MAPE)", "the typical distance as a share of the truth", "down"),
    "r2": ("R²", "the share of the variation in the truth that the answers explain; 0 is always saying the mean", "up"),
    "pearson": ("Pearson correlation", "how well a straight line links answer and truth", "up"),
    "spearman": ("Spearman correlation", "how well the answers put the samples in order", "up"),
    "concordance": ("Concordance (CCC)", "correlation that also demands the right level and spread", "up"),
    "bias": ("Bias", "mean of answer minus truth: above zero means that the answers are too high", "zero"),
    "limits_low": ("Lower limit of agreement", "95 % of the single differences lie above this (Bland-Altman)", "zero"),
    "limits_high": ("Upper limit of agreement", "95 % of the single differences lie below this (Bland-Altman)", "zero"),
    "dsb_ap": ("AP (Data Science Bowl)", "found / (found + missed + spurious) of each image, the mean over images and "
               "over ten thresholds of overlap (IoU .5 to .95) that an object must pass to be found", "up"),
    "dsb_ap_pooled": ("AP (Data Science Bowl), pooled", "the same with the objects of all images counted together, so "
                      "that an image counts as much as it has objects", "up"),
    "coco_ap": ("AP (COCO)", "the area under the precision-recall curve of objects ranked by score, the mean over ten "
                "thresholds of overlap; another quantity than AP of the Data Science Bowl", "up"),
    "pq": ("Panoptic quality (PQ)", "RQ x SQ: how many objects are found, times how well", "up"),
    "rq": ("Recognition quality (RQ)", "F1 of objects found at IoU above .5", "up"),
    "sq": ("Segmentation quality (SQ)", "the mean overlap (IoU) of the objects that are found", "up"),
    "aji": ("AJI", "shared pixels over joint pixels, summed over objects; a predicted object may serve several", "up"),
    "aji_plus": ("AJI+", "the same, each predicted object serving one true object", "up"),
    "object_jaccard": ("Jaccard per object", "the best overlap (IoU) of any predicted object with each true one", "up"),
    "object_dice": ("Dice per object", "the best Dice coefficient of any predicted object with each true one", "up"),
    "dice": ("Dice", "twice the shared pixels over the pixels of both", "up"),
    "jaccard": ("Jaccard", "the shared pixels of objects over their joint pixels, objects not told apart", "up"),
    "missed": ("Missed", "the share of true objects that nothing answers", "down"),
    "split": ("Split", "the share of true objects that several predicted ones make up", "down"),
    "merged": ("Merged", "the share of true objects that share a predicted one with others", "down"),
    "spurious": ("Spurious", "the share of predicted objects that answer nothing", "down"),
    "size_true": ("True size", "the diameter of the disc of a true object's area, in pixels", "zero"),
    "size_said": ("Predicted size", "the same of predicted objects", "zero"),
    "size_bias": ("Bias of size", "by which share found objects are wider than the true ones", "zero"),
    "recall_size": ("Recall by size", "the share found of true objects of a size", "up"),
    "precision_size": ("Precision by size", "the share of predicted objects of a size that are right", "up"),
    "share_size": ("Share by size", "the share of true objects that are of a size", "zero"),
    "boundary_f": ("Boundary F", "the share of outlines within two pixels of one another, both ways", "up"),
    "hausdorff": ("Hausdorff distance", "the farthest point of an outline from the other, in pixels", "down"),
    "hausdorff95": ("Hausdorff distance, 95 %", "the same without the farthest twentieth of the points", "down"),
    "count_mae": ("Error of the count", "by how many objects an image's count is off", "down"),
    "count_mape": ("Relative error of the count", "the error of the count as a share of the true count", "down"),
    "count_bias": ("Bias of the count", "mean of answered minus true count", "zero"),
    "game": ("GAME", "errors of the counts of 4 x 4 parts of an image, added up", "down"),
    "bpq": ("bPQ, strict", "the mean over images of PQ without classes; spurious objects in empty images cost", "up"),
    "bpq_published": ("bPQ, as published", "the same over images that hold objects only, as PanNuke's script", "up"),
    "mpq": ("mPQ, strict", "PQ of each class, mean over images with any of it, then over classes", "up"),
    "mpq_published": ("mPQ, as published", "PQ of the classes that an image truly holds, the mean over images, "
                      "as PanNuke's script: objects of absent classes cost nothing", "up"),
    "f_d": ("Detection F1 (F_d)", "F1 of objects paired by their centres, whatever their class", "up"),
    "f_c": ("Class F1 (F_c)", "F1 of each class of objects paired by their centres, the mean over classes", "up"),
    "type_accuracy": ("Type accuracy", "of true objects that are found (paired by their centres) the share whose class "
                      "is answered right", "up"),
    "distance": ("Distance of pairs", "how far the points of a pair are apart, in pixels", "down"),
    "mean_iou": ("Mean IoU", "shared over joint pixels of each class, all images together, mean over classes", "up"),
    "mean_dice": ("Mean Dice", "Dice of each class, all images together, the mean over classes", "up"),
    "iou": ("IoU", "shared over joint pixels", "up"),
    "pixel_accuracy": ("Pixel accuracy", "the share of pixels answered right; flattering if one class is large", "up"),
}
# Bounded by one, so they are written without the leading zero (".78").
UNIT = frozenset(METRICS) - {
    "log_loss", "mae", "rmse", "mape", "bias", "set_size", "limits_low", "limits_high", "hausdorff", "hausdorff95",
    "count_mae", "count_mape", "count_bias", "distance", "game", "size_true", "size_said",
}  # fmt: skip
# Figures of many parts that a picture shows; of them tables have the median alone.
DRAWN = frozenset({"size_true", "size_said", "recall_size", "precision_size", "share_size"})
MEDIAN = "p50"
# Of answers with many metrics those that a reader meets first; the others are folded away.
MAIN: dict[str, tuple[str, ...]] = {
    "labelset": ("macro_f1", "micro_f1", "average_precision", "auc", "exact_match", "hamming_loss"),
    "labels": ("dsb_ap", "dsb_ap.50", "dsb_ap_pooled", "coco_ap", "f1.50", "pq", "aji", "mpq", "f_c", "missed", "split",
               "merged", "spurious", "count_mae", "size_bias"),
    "objects": ("f1", "precision", "recall", "coco_ap", "f_c", "count_mae", "count_mape", "count_bias", "distance"),
    "density": ("count_mae", "count_mape", "count_bias", "game"),
}  # fmt: skip
