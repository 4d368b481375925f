//! What a device can do, so that the same forward pass runs on a GPU and on an emulated one in tests.

use std::{any::Any, marker::PhantomData, sync::Arc};

/// Why work on a device failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DeviceError {
    /// The driver or a library refused.
    #[error("{doing}: {problem}")]
    Refused {
        /// What was tried.
        doing: String,
        /// What the driver says.
        problem: String,
    },
    /// An operand is too small for the work; a mistake in this crate.
    #[error("{operand} of {operation} holds {has} elements, not {needs}")]
    Bounds {
        /// Which work.
        operation: &'static str,
        /// Which operand.
        operand: &'static str,
        /// What there is.
        has: usize,
        /// What is needed.
        needs: usize,
    },
}

impl DeviceError {
    pub fn refused(doing: impl Into<String>, problem: impl ToString) -> Self {
        Self::Refused { doing: doing.into(), problem: problem.to_string() }
    }
}

/// A kernel's argument.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Arg {
    At(u64),
    Int(i32),
    Float(f32),
}

/// A product `out[rows][out_stride] = x[rows][inputs] weights[outputs][inputs]^T` of bf16 with sums in f32.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product {
    pub out: u64,
    /// Whether `out` is f32 instead of bf16.
    pub wide: bool,
    pub x: u64,
    pub weights: u64,
    pub rows: usize,
    pub outputs: usize,
    pub inputs: usize,
    pub out_stride: usize,
}

/// Recorded work that can be repeated.
pub(crate) trait Recording: Send {
    /// Begins it again, with what lies in memory now.
    fn replay(&self) -> Result<(), DeviceError>;
}

/// One device, whose work happens in the order in which it is begun.
pub(crate) trait Device: Send + Sync {
    /// Takes memory, which is given back when the owner is dropped; the address is a multiple of 16.
    fn allocate(&self, bytes: usize) -> Result<(u64, Box<dyn Any + Send>), DeviceError>;

    /// Copies to the device; `bytes` may change afterwards.
    fn upload(&self, to: u64, bytes: &[u8]) -> Result<(), DeviceError>;

    /// Copies from the device, after all that was begun before.
    fn download(&self, from: u64, bytes: &mut [u8]) -> Result<(), DeviceError>;

    /// Begins a kernel. The addresses in `args` must be valid for all that it touches; `kernels` sees to that.
    fn launch(&self, kernel: &str, grid: [u32; 3], threads: u32, args: &[Arg]) -> Result<(), DeviceError>;

    /// Begins a product; the same holds for its addresses.
    fn multiply(&self, product: &Product) -> Result<(), DeviceError>;

    /// Records what `work` begins instead of doing it.
    fn record(&self, work: &mut dyn FnMut() -> Result<(), DeviceError>) -> Result<Box<dyn Recording>, DeviceError>;

    /// Memory that can still be allocated, in bytes.
    fn free_bytes(&self) -> Result<usize, DeviceError>;

    /// Multiprocessors.
    fn processors(&self) -> usize;
}

/// Numbers that kernels read and write; plain bytes in memory.
pub(crate) trait Element: Copy + Send + 'static {
    /// Writes it as the device holds it.
    fn to_bytes(self, out: &mut Vec<u8>);
    /// Reads it back.
    fn from_bytes(bytes: &[u8]) -> Self;
}

macro_rules! element {
    ($type:ty) => {
        impl Element for $type {
            fn to_bytes(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn from_bytes(bytes: &[u8]) -> Self {
                let mut own = [0; size_of::<$type>()];
                own.copy_from_slice(bytes);
                <$type>::from_le_bytes(own)
            }
        }
    };
}
element!(f32);
element!(i32);
element!(u32);
element!(half::bf16);

/// Memory of a device, for `len` elements.
pub(crate) struct Buffer<T> {
    device: Arc<dyn Device>,
    address: u64,
    len: usize,
    _memory: Box<dyn Any + Send>,
    element: PhantomData<T>,
}

impl<T: Element> Buffer<T> {
    pub fn new(device: &Arc<dyn Device>, len: usize) -> Result<Self, DeviceError> {
        let (address, memory) = device.allocate(len.max(1) * size_of::<T>())?;
        Ok(Self { device: device.clone(), address, len, _memory: memory, element: PhantomData })
    }

    pub fn from_slice(device: &Arc<dyn Device>, elements: &[T]) -> Result<Self, DeviceError> {
        let mut buffer = Self::new(device, elements.len())?;
        buffer.write(0, elements)?;
        Ok(buffer)
    }

    /// Copies `elements` to the places from `first` on.
    pub fn write(&mut self, first: usize, elements: &[T]) -> Result<(), DeviceError> {
        let part = self.part(first, elements.len())?;
        let mut bytes = Vec::with_capacity(size_of_val(elements));
        elements.iter().for_each(|element| element.to_bytes(&mut bytes));
        self.device.upload(part.at, &bytes)
    }

    /// `len` elements from `first` on, after all that was begun before.
    pub fn read(&self, first: usize, len: usize) -> Result<Vec<T>, DeviceError> {
        let mut bytes = vec![0; len * size_of::<T>()];
        self.device.download(self.part(first, len)?.at, &mut bytes)?;
        Ok(bytes.chunks_exact(size_of::<T>()).map(T::from_bytes).collect())
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn all(&self) -> Slice<T> {
        Slice { at: self.address, len: self.len, element: PhantomData }
    }

    pub fn part(&self, first: usize, len: usize) -> Result<Slice<T>, DeviceError> {
        self.all().part(first, len)
    }
}

/// A part of a buffer; valid while the buffer lives.
pub(crate) struct Slice<T> {
    pub at: u64,
    pub len: usize,
    element: PhantomData<T>,
}

impl<T> Clone for Slice<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Slice<T> {}

impl<T: Element> Slice<T> {
    /// `len` elements from `first` on.
    pub fn part(self, first: usize, len: usize) -> Result<Self, DeviceError> {
        let needs = first.saturating_add(len);
        if needs > self.len {
            return Err(DeviceError::Bounds { operation: "a part", operand: "the buffer", has: self.len, needs });
        }
        Ok(Self { at: self.at + (first * size_of::<T>()) as u64, len, element: PhantomData })
    }

    /// The argument for a kernel that touches `needs` elements.
    pub fn arg(self, operation: &'static str, operand: &'static str, needs: usize) -> Result<Arg, DeviceError> {
        if self.len < needs {
            return Err(DeviceError::Bounds { operation, operand, has: self.len, needs });
        }
        Ok(Arg::At(self.at))
    }
}
