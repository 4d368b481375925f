//! Dense products through cuBLASLt. What it thinks best for a product's sizes is asked once and kept.
#![expect(unsafe_code, reason = "cuBLASLt is foreign; handles are made and destroyed here alone")]

use super::device::{DeviceError, Product};
use cudarc::{
    cublaslt::{
        result::{self, CublasError},
        sys::{
            self, cublasComputeType_t as Compute, cublasLtMatmulDescAttributes_t as Attribute,
            cublasLtMatmulPreferenceAttributes_t as Preference, cudaDataType_t as Type,
        },
    },
    driver::{CudaSlice, CudaStream, DevicePtr},
};
use std::{
    collections::HashMap,
    ffi::c_void,
    ptr::{from_ref, null_mut},
    sync::Arc,
};

/// What NVIDIA recommends for Hopper; more than Ampere needs.
const WORKSPACE_BYTES: usize = 32 << 20;
/// Plans that are kept; the number of rows of a prompt's chunk varies freely.
const MAX_PLANS: usize = 4096;

/// `CUBLAS_OP_T`.
const TRANSPOSED: i32 = 1;

/// A product without its addresses.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Sizes {
    rows: usize,
    outputs: usize,
    inputs: usize,
    out_stride: usize,
    wide: bool,
}

/// How a product is computed.
struct Plan {
    product: sys::cublasLtMatmulDesc_t,
    weights: sys::cublasLtMatrixLayout_t,
    x: sys::cublasLtMatrixLayout_t,
    out: sys::cublasLtMatrixLayout_t,
    algorithm: Option<sys::cublasLtMatmulAlgo_t>,
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: made by `Plan::new`, destroyed once; null where that failed. Failing to give them back is harmless.
        unsafe {
            if !self.product.is_null() {
                let _ = result::destroy_matmul_desc(self.product);
            }
            for layout in [self.weights, self.x, self.out].into_iter().filter(|layout| !layout.is_null()) {
                let _ = result::destroy_matrix_layout(layout);
            }
        }
    }
}

pub(super) struct Blas {
    handle: sys::cublasLtHandle_t,
    plans: HashMap<Sizes, Plan>,
    workspace: CudaSlice<u8>,
    stream: Arc<CudaStream>,
}

// SAFETY: handles belong to no thread, and each call needs `&mut self`.
unsafe impl Send for Blas {}

impl Drop for Blas {
    fn drop(&mut self) {
        self.plans.clear();
        // SAFETY: made by `new`, destroyed once.
        let _ = unsafe { result::destroy_handle(self.handle) };
    }
}

impl Blas {
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self, DeviceError> {
        // SAFETY: cuBLASLt writes its workspace before it reads it.
        let workspace = unsafe { stream.alloc::<u8>(WORKSPACE_BYTES) };
        let workspace = workspace.map_err(|error| DeviceError::refused("cuBLASLt's workspace", error))?;
        let handle = result::create_handle().map_err(refused)?;
        Ok(Self { handle, plans: HashMap::new(), workspace, stream: stream.clone() })
    }

    /// Begins a product on the stream.
    pub fn multiply(&mut self, product: &Product) -> Result<(), DeviceError> {
        let Product { rows, outputs, inputs, out_stride, wide, .. } = *product;
        if rows == 0 {
            return Ok(());
        }
        let sizes = Sizes { rows, outputs, inputs, out_stride, wide };
        if !self.plans.contains_key(&sizes) {
            if self.plans.len() >= MAX_PLANS {
                self.plans.clear();
            }
            let plan = Plan::new(self.handle, sizes).map_err(refused)?;
            self.plans.insert(sizes, plan);
        }
        let Some((plan, algorithm)) = self.plans.get(&sizes).and_then(|plan| Some((plan, plan.algorithm?))) else {
            return Err(refused(CublasError(sys::cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED)));
        };
        let (one, zero) = (1.0f32, 0.0f32);
        let (workspace, _guard) = self.workspace.device_ptr(&self.stream);
        // SAFETY: `Linear` has checked that each address has room for the sizes that the plan was made for.
        let begun = unsafe {
            result::matmul(
                self.handle,
                plan.product,
                from_ref(&one).cast(),
                from_ref(&zero).cast(),
                product.weights as *const c_void,
                plan.weights,
                product.x as *const c_void,
                plan.x,
                product.out as *const c_void,
                plan.out,
                product.out as *mut c_void,
                plan.out,
                &raw const algorithm,
                workspace as *mut c_void,
                WORKSPACE_BYTES,
                self.stream.cu_stream().cast(),
            )
        };
        begun.map_err(refused)
    }
}

impl Plan {
    /// cuBLASLt reads columns first: our rows are its columns, so it computes `out^T = weights x^T`.
    fn new(handle: sys::cublasLtHandle_t, sizes: Sizes) -> Result<Self, CublasError> {
        let Sizes { rows, outputs, inputs, out_stride, wide } = sizes;
        let mut plan =
            Self { product: null_mut(), weights: null_mut(), x: null_mut(), out: null_mut(), algorithm: None };
        let layout = |of, rows: usize, columns: usize, stride: usize| {
            result::create_matrix_layout(of, rows as u64, columns as u64, i64::try_from(stride).unwrap_or(i64::MAX))
        };
        plan.product = result::create_matmul_desc(Compute::CUBLAS_COMPUTE_32F, Type::CUDA_R_32F)?;
        plan.weights = layout(Type::CUDA_R_16BF, inputs, outputs, inputs)?;
        plan.x = layout(Type::CUDA_R_16BF, inputs, rows, inputs)?;
        plan.out = layout(if wide { Type::CUDA_R_32F } else { Type::CUDA_R_16BF }, outputs, rows, out_stride)?;
        let transposed = TRANSPOSED;
        let preference = result::create_matmul_pref()?;
        // SAFETY: the handles were just made; each attribute's value has the type that cuBLASLt expects.
        let found = unsafe {
            let set = result::set_matmul_desc_attribute(
                plan.product,
                Attribute::CUBLASLT_MATMUL_DESC_TRANSA,
                from_ref(&transposed).cast(),
                size_of_val(&transposed),
            )
            .and_then(|()| {
                result::set_matmul_pref_attribute(
                    preference,
                    Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                    from_ref(&WORKSPACE_BYTES).cast(),
                    size_of_val(&WORKSPACE_BYTES),
                )
            });
            let found = set.and_then(|()| {
                let (weights, x, out) = (plan.weights, plan.x, plan.out);
                result::get_matmul_algo_heuristic(handle, plan.product, weights, x, out, out, preference)
            });
            let _ = result::destroy_matmul_pref(preference);
            found
        };
        plan.algorithm = Some(found?.algo);
        Ok(plan)
    }
}

fn refused(error: CublasError) -> DeviceError {
    DeviceError::refused("cuBLASLt", error)
}
