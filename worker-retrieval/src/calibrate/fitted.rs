//! The fitted coefficients.
//!
//! Each was fitted by `deploy/eval/fit.py` on every second question about the demo tenant (`questions.jsonl`,
//! `more-questions.jsonl` and `unanswerable.jsonl` of `deploy/demo`): ridge logistic regression in which no evidence may count
//! against a match. The biases are such that 0.5 loses a twentieth of the answerable questions to abstention, and that 0.9 lies
//! above every wrong curated answer.

use super::{Calibration, Logistic, Models};

/// For vectors that were never measured, whose cosines may all be high or all be low: a curated answer must share most words
/// with the question, and passages are rarely held back.
const CAUTIOUS: Models = Models {
    faq: Logistic { bias: -17.0, weights: [14.0, 3.0, 3.0, 3.0, 0.5] },
    passages: Logistic { bias: -2.0, weights: [2.0, 2.0, 3.0, 1.0, 0.5] },
};

/// `bge-small-zh-v1.5` for Chinese, `all-MiniLM-L6-v2` for the rest.
const BILINGUAL: Calibration = Calibration {
    chinese: Models {
        faq: Logistic { bias: -10.09, weights: [13.84, 10.60, 0.00, 0.00, 0.86] },
        passages: Logistic { bias: -6.15, weights: [9.11, 1.52, 1.85, 0.67, 0.88] },
    },
    other: Models {
        faq: Logistic { bias: -9.91, weights: [14.14, 12.14, 0.00, 0.00, 0.27] },
        passages: Logistic { bias: -5.67, weights: [10.05, 3.51, 2.63, 0.00, 0.00] },
    },
};

const BGE_SMALL_ZH: Calibration = Calibration {
    chinese: Models {
        faq: Logistic { bias: -10.32, weights: [14.06, 10.89, 0.00, 0.00, 0.91] },
        passages: Logistic { bias: -6.07, weights: [9.16, 1.62, 1.53, 0.73, 0.92] },
    },
    other: Models {
        faq: Logistic { bias: -11.77, weights: [15.42, 8.47, 0.07, 0.34, 0.47] },
        passages: Logistic { bias: -6.15, weights: [7.83, 0.20, 2.13, 1.74, 0.48] },
    },
};

const ALL_MINILM: Calibration = Calibration {
    // It was not trained on Chinese.
    chinese: CAUTIOUS,
    other: Models {
        faq: Logistic { bias: -9.55, weights: [13.32, 12.12, 0.00, 0.00, 0.44] },
        passages: Logistic { bias: -5.24, weights: [9.79, 3.19, 2.73, 0.00, 0.00] },
    },
};

/// By the names of the models that make the vectors.
pub fn of(names: &str) -> Calibration {
    match names {
        "bge-small-zh-v1.5+all-MiniLM-L6-v2" => BILINGUAL,
        "bge-small-zh-v1.5" => BGE_SMALL_ZH,
        "all-MiniLM-L6-v2" => ALL_MINILM,
        _ => Calibration { chinese: CAUTIOUS, other: CAUTIOUS },
    }
}
