//! A weight matrix, cut into panels of sixteen outputs, and its products.

use super::{
    super::{
        columns::Columns,
        isa::{Isa, Job, LANES},
    },
    input::{Input, Packing, Tile},
};
use rayon::prelude::*;

/// Some inputs' weights of sixteen outputs, in a layout made for its kernel.
pub(super) trait Block: Sized + Send + Sync {
    /// Inputs of a block.
    const INPUTS: usize;
    /// Bytes that one output of a block takes in a model file.
    const FILED: usize;
    const PACKING: Packing;

    fn zeros() -> Self;

    /// Takes over the weights of one output from what a model file has, which may have fewer than [`Block::FILED`] bytes
    /// at the end of a row. The block is zeros there before.
    fn fill(&mut self, lane: usize, filed: &[u8]);

    /// One weight.
    fn weight(&self, lane: usize, input: usize) -> f32;

    /// The sixteen outputs of a panel for each row of a tile with room for `ROWS`. Each output is summed over the blocks
    /// in order, whatever `ROWS` is. To be marked `#[inline(always)]`.
    fn tile<I: Isa, const ROWS: usize>(isa: I, panel: &[Self], tile: &Tile) -> [I::Floats; ROWS];
}

/// What becomes of a product.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// It replaces what is there.
    Store,
    /// It is added to what is there.
    Add,
}

/// `[panel][block]`.
pub(super) struct Panels<B> {
    blocks: Vec<B>,
    per_panel: usize,
}

/// A weight matrix in whatever format.
pub(super) trait Weight: Send + Sync {
    /// How the inputs must be packed.
    fn packing(&self) -> Packing;

    /// Bytes of a panel.
    fn panel_bytes(&self) -> usize;

    /// One output's weights.
    fn row(&self, output: usize, to: &mut [f32]);

    /// Multiplies every row of `input` with the panels from `first` on, as many as `to` has columns for, and adds `bias`,
    /// which is empty or begins with the first panel's first output.
    fn multiply(&self, input: &Input, first: usize, bias: &[f32], target: Target, to: &mut Columns<'_>);
}

impl<B: Block> Panels<B> {
    /// From `outputs` rows as they lie in a model file, of `inputs` weights each.
    pub fn new(filed: &[u8], outputs: usize, inputs: usize) -> Self {
        let per_panel = inputs.div_ceil(B::INPUTS).max(1);
        let panels = outputs.div_ceil(LANES);
        let row = filed.len() / outputs.max(1);
        let mut blocks: Vec<B> = Vec::with_capacity(panels * per_panel);
        let block = |at: usize| {
            let (panel, number) = (at / per_panel, at % per_panel);
            let mut block = B::zeros();
            for lane in 0..LANES.min(outputs - panel * LANES) {
                let row = &filed[(panel * LANES + lane) * row..][..row];
                let rest = &row[(number * B::FILED).min(row.len())..];
                block.fill(lane, &rest[..B::FILED.min(rest.len())]);
            }
            block
        };
        (0..panels * per_panel).into_par_iter().map(block).collect_into_vec(&mut blocks);
        Self { blocks, per_panel }
    }
}

impl<B: Block> Weight for Panels<B> {
    fn packing(&self) -> Packing {
        B::PACKING
    }

    fn panel_bytes(&self) -> usize {
        self.per_panel * size_of::<B>()
    }

    fn row(&self, output: usize, to: &mut [f32]) {
        let panel = &self.blocks[output / LANES * self.per_panel..][..self.per_panel];
        for (block, to) in panel.iter().zip(to.chunks_mut(B::INPUTS)) {
            to.iter_mut().enumerate().for_each(|(input, to)| *to = block.weight(output % LANES, input));
        }
    }

    fn multiply(&self, input: &Input, first: usize, bias: &[f32], target: Target, to: &mut Columns<'_>) {
        let blocks = &self.blocks[first * self.per_panel..];
        input.processor.run(Multiply { blocks, per_panel: self.per_panel, input, bias, target, to });
    }
}

struct Multiply<'a, 'b, B> {
    blocks: &'a [B],
    per_panel: usize,
    input: &'a Input,
    bias: &'a [f32],
    target: Target,
    to: &'a mut Columns<'b>,
}

impl<B: Block> Job for Multiply<'_, '_, B> {
    #[inline(always)]
    fn run<I: Isa>(mut self, isa: I) {
        for tile in self.input.tiles() {
            let panels = self.to.width().div_ceil(LANES);
            for (number, panel) in self.blocks.chunks_exact(self.per_panel).take(panels).enumerate() {
                match tile.wide {
                    1 => self.write::<I, 1>(isa, B::tile(isa, panel, tile), tile, number * LANES),
                    8 if I::ROWS == 8 => self.write::<I, 8>(isa, B::tile(isa, panel, tile), tile, number * LANES),
                    _ => self.write::<I, 4>(isa, B::tile(isa, panel, tile), tile, number * LANES),
                }
            }
        }
    }
}

impl<B> Multiply<'_, '_, B> {
    #[inline(always)]
    fn write<I: Isa, const ROWS: usize>(&mut self, isa: I, products: [I::Floats; ROWS], tile: &Tile, column: usize) {
        for (row, product) in tile.rows.clone().zip(products) {
            let mut product = isa.array(product);
            if let Some(bias) = self.bias.get(column..) {
                product.iter_mut().zip(bias).for_each(|(product, bias)| *product += bias);
            }
            let to = self.to.row(row)[column..].iter_mut().zip(product);
            match self.target {
                Target::Store => to.for_each(|(to, product)| *to = product),
                Target::Add => to.for_each(|(to, product)| *to += product),
            }
        }
    }
}
