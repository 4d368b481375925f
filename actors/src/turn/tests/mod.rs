mod cases;
mod degraded;
mod every_order;
mod properties;
