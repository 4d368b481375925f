mod cases;
mod decided;
mod degraded;
mod every_order;
mod properties;
mod recalled;
