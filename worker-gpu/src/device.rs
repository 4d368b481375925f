//! What an engine of this crate computes on.

use runtime::config::Problem;
use std::fmt;

/// One of `inference.devices`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Device {
    /// The processor, or a share of its threads when it is named several times.
    Cpu,
    /// The NVIDIA GPU of this number.
    Cuda(usize),
}

impl Device {
    fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "cpu" => Some(Self::Cpu),
            Some(("cuda", number)) => number.parse().ok().map(Self::Cuda),
            _ => None,
        }
    }

    /// The configured devices; at least one, and each GPU once.
    pub fn parse_all(names: &[String]) -> Result<Vec<Self>, Problem> {
        let problem = |expected| Problem::new("inference.devices", format!("{names:?}"), expected);
        let devices: Option<Vec<_>> = names.iter().map(|name| Self::parse(name)).collect();
        let devices = devices.filter(|devices| !devices.is_empty());
        let devices = devices.ok_or_else(|| problem("a list of \"cpu\" and \"cuda:<number>\", such as [\"cpu\"]"))?;
        let is_gpu = |device: &&Self| matches!(device, Self::Cuda(_));
        if devices
            .iter()
            .filter(is_gpu)
            .enumerate()
            .any(|(n, gpu)| devices.iter().filter(is_gpu).take(n).any(|other| other == gpu))
        {
            return Err(problem("each GPU once"));
        }
        if devices.iter().any(|device| is_gpu(&device)) && !cfg!(feature = "cuda") {
            return Err(problem("\"cpu\", or a build with the feature cuda (`make cuda`)"));
        }
        Ok(devices)
    }

    /// Names for metrics and logs, no two of which are equal.
    pub fn labels(devices: &[Self]) -> Vec<String> {
        let is_shared = devices.iter().filter(|device| **device == Self::Cpu).count() > 1;
        let mut processors = 0..;
        let label = |device: &Self| match device {
            Self::Cpu if is_shared => format!("cpu:{}", processors.next().unwrap_or_default()),
            device => device.to_string(),
        };
        devices.iter().map(label).collect()
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(names: &[&str]) -> Result<Vec<Device>, Problem> {
        Device::parse_all(&names.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn devices_are_read_and_named() {
        let two = parse(&["cpu", "cpu"]).unwrap();
        assert_eq!((two.len(), Device::labels(&two)), (2, vec!["cpu:0".into(), "cpu:1".into()]));
        assert_eq!(Device::labels(&[Device::Cpu, Device::Cuda(3)]), ["cpu", "cuda:3"]);
        for wrong in [&[][..], &["gpu"], &["cuda"], &["cuda:x"], &["cpu:0"], &["cuda:1", "cuda:1"]] {
            assert_eq!(parse(wrong).unwrap_err().key, "inference.devices", "{wrong:?}");
        }
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn a_gpu_needs_another_build() {
        assert!(parse(&["cuda:0"]).unwrap_err().to_string().contains("make cuda"));
    }
}
