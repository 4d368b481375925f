//! A text's vector, small enough to travel.

use serde::{Deserialize, Serialize};

/// A unit vector in one signed byte per dimension, written in hexadecimal. Cosines of two of them are off by less than 0.01.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuantizedVector(String);

impl QuantizedVector {
    /// Scales the largest component to 127.
    pub fn of(vector: &[f32]) -> Self {
        let most = vector.iter().fold(f32::MIN_POSITIVE, |most, x| most.max(x.abs()));
        let byte = |x: &f32| (x / most * 127.0).round() as i8 as u8;
        Self(vector.iter().map(|x| format!("{:02x}", byte(x))).collect())
    }

    /// Its components, of length 1 together; `None`: it was not written by [`Self::of`].
    pub fn unit(&self) -> Option<Vec<f32>> {
        let text = self.0.as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let bytes = text.chunks(2).map(|pair| match pair {
            [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
            _ => None,
        });
        let mut values: Vec<f32> = bytes.map(|byte| byte.map(|byte| f32::from(byte as i8))).collect::<Option<_>>()?;
        let length = values.iter().map(|x| x * x).sum::<f32>().sqrt();
        (length > 0.0).then(|| values.iter_mut().for_each(|x| *x /= length))?;
        Some(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_travels_almost_unchanged() {
        let vector: Vec<f32> = (0..64).map(|n| ((n * 37 % 101) as f32 - 50.0) / 240.0).collect();
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        let back = QuantizedVector::of(&vector).unit().unwrap();
        let cosine: f32 = back.iter().zip(&vector).map(|(x, y)| x * y / length).sum();
        assert!(cosine > 0.9999, "{cosine}");
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        for bad in ["", "0", "zz", "00", "\u{fc}0"] {
            assert_eq!(QuantizedVector(bad.into()).unit(), None, "{bad:?}");
        }
    }
}
