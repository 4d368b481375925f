mod cases;
mod degraded;
mod properties;
