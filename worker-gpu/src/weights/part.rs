//! The weights that a decoder has, and what they are called.

/// One of a model's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// `[vocabulary, hidden]`.
    Embedding,
    /// The norm before the head, `[hidden]`.
    Norm,
    /// `[vocabulary, hidden]`; the embedding where they are tied.
    Head,
    /// A weight of a layer.
    Layer(usize, LayerPart),
}

/// One of a layer's weights. Matrices are `[outputs, inputs]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LayerPart {
    AttentionNorm,
    Query,
    Key,
    Value,
    /// The norm of each query head (Qwen3), `[head_dim]`.
    QueryNorm,
    /// The norm of each key head (Qwen3), `[head_dim]`.
    KeyNorm,
    Output,
    MlpNorm,
    Gate,
    Up,
    Down,
}

impl LayerPart {
    pub const ALL: [Self; 11] = [
        Self::AttentionNorm,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::QueryNorm,
        Self::KeyNorm,
        Self::Output,
        Self::MlpNorm,
        Self::Gate,
        Self::Up,
        Self::Down,
    ];

    /// Names in GGUF and in Hugging Face's format.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::AttentionNorm => ("attn_norm", "input_layernorm"),
            Self::Query => ("attn_q", "self_attn.q_proj"),
            Self::Key => ("attn_k", "self_attn.k_proj"),
            Self::Value => ("attn_v", "self_attn.v_proj"),
            Self::QueryNorm => ("attn_q_norm", "self_attn.q_norm"),
            Self::KeyNorm => ("attn_k_norm", "self_attn.k_norm"),
            Self::Output => ("attn_output", "self_attn.o_proj"),
            Self::MlpNorm => ("ffn_norm", "post_attention_layernorm"),
            Self::Gate => ("ffn_gate", "mlp.gate_proj"),
            Self::Up => ("ffn_up", "mlp.up_proj"),
            Self::Down => ("ffn_down", "mlp.down_proj"),
        }
    }
}

impl Part {
    /// The name in GGUF, without `.weight` or `.bias`.
    pub(super) fn gguf(self) -> String {
        match self {
            Self::Embedding => "token_embd".into(),
            Self::Norm => "output_norm".into(),
            Self::Head => "output".into(),
            Self::Layer(number, part) => format!("blk.{number}.{}", part.names().0),
        }
    }

    /// The name in Hugging Face's format, without `.weight` or `.bias`.
    pub(super) fn hugging_face(self) -> String {
        match self {
            Self::Embedding => "model.embed_tokens".into(),
            Self::Norm => "model.norm".into(),
            Self::Head => "lm_head".into(),
            Self::Layer(number, part) => format!("model.layers.{number}.{}", part.names().1),
        }
    }
}
