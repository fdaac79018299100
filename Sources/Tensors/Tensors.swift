/// Dense float32 arrays and the operations that models are made of.
///
/// Legend, used in every doc comment of the project:
/// - Shapes are written outermost first and stored row-major: `[N, C]` is N tokens of C channels.
/// - Feature maps are channels-last, `[H, W, C]`, so that a 1×1 convolution is a matrix product, a normalisation over
///   channels reads consecutive memory, and `[H, W, C]` reshapes to tokens `[H·W, C]` for nothing.
/// - `B` batch, `N` tokens, `C`/`D` channels, `H`, `W` rows and columns, `Q` regions, `M` masks of one prompt.
///
/// A shape that does not fit is a programmer's error here and traps (`precondition`); whatever comes from a file has
/// been checked against the model's shapes before it becomes a `Tensor`.
