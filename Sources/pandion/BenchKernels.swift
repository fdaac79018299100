import CKernels
import COpenBLAS
import Foundation
import Tensors

/// `pandion bench --kernels`: each set of kernels that this CPU has, at sizes that SAM ViT-B, MobileSAM's TinyViT, ConvNeXt-L and
/// LLaMA-7B have, beside its plain twin; products beside OpenBLAS's too.
struct KernelBench {
  /// The least time of so many runs counts.
  let count: Int

  struct Row: Encodable {
    var kernel: String
    var set: String
    var milliseconds: Double
    /// GFLOP/s of products, GB/s of what is bound by memory.
    var rate: Double
    var unit: String
    /// How many times as fast as the plain twin.
    var timesScalar: Double
    /// How many times as fast as `cblas_sgemm`, for products.
    var timesSgemm: Double?
    /// GB/s of the weight as it is stored, for products with blocks.
    var weightGbPerSecond: Double?
  }

  struct Report: Encodable {
    var threads: Int
    var kernels: [Row]
  }

  func run(json: Bool) throws {
    let rows = products() + blockProducts() + loops()
    if json { return try printJSON(Report(threads: ComputePool.threads, kernels: rows)) }
    var last = ""
    for row in rows {
      if row.kernel != last { Standard.output(row.kernel) }
      last = row.kernel
      Standard.output(
        "  " + row.set.padding(toLength: 22, withPad: " ", startingAt: 0)
          + String(format: "%10.3f ms %9.1f %@ %8.2f× scalar", row.milliseconds, row.rate, row.unit, row.timesScalar)
          + (row.timesSgemm.map { String(format: " %6.2f× sgemm", $0) } ?? "")
          + (row.weightGbPerSecond.map { String(format: " %8.2f GB/s of weight", $0) } ?? ""))
    }
  }

  /// Seconds of the fastest run. What takes long, as plain twins do, runs less often.
  func fastest(_ prepare: () -> Void = {}, _ body: () -> Void) -> Double {
    var (least, total) = (Double.infinity, 0.0)
    for _ in 0..<count + 1 where total < 1 {
      prepare()
      let start = ContinuousClock.now
      body()
      let passed = start.duration(to: .now).seconds
      (least, total) = (min(least, passed), total + passed)
    }
    return max(least, 1e-9)
  }
}

extension KernelBench {
  /// On all threads, the left operand packed anew in each product, as models do it.
  private func products() -> [Row] {
    let sizes = [
      ("ViT-B, 4 windows' MLP", 784, 768, 3072), ("ViT-B, 4 windows' MLP back", 784, 3072, 768),
      ("TinyViT, a stage's MLP", 784, 160, 640), ("ConvNeXt-L, stage 1", 1024, 192, 768),
    ]
    return sizes.flatMap { name, rows, inner, columns in
      let (a, b) = (Self.numbers([rows, inner]), Self.numbers([inner, columns]))
      let flops = 2 * Double(rows * inner * columns)
      let kernel = "product \(rows)×\(inner)×\(columns) (\(name))"
      let sgemm = fastest { Self.sgemm(a, b) }
      func row(_ set: String, _ seconds: Double, _ scalar: Double) -> Row {
        Row(
          kernel: kernel, set: set, milliseconds: seconds * 1000, rate: flops / seconds / 1e9, unit: "GFLOP/s",
          timesScalar: scalar / seconds, timesSgemm: sgemm / seconds)
      }
      var (found, scalar) = ([Row](), [Precision: Double]())
      for set in ProductSet.available {
        let packed = set.pack(b)
        let seconds = fastest { _ = a.multiplied(by: packed) }
        let base = scalar[set.precision] ?? seconds
        scalar[set.precision] = base
        found.append(row("\(set.precision.rawValue) \(set.name)", seconds, base))
      }
      return found + [row("fp32 OpenBLAS sgemm", sgemm, scalar[.fp32] ?? sgemm)]
    }
  }

  /// On all threads, too.
  private static func sgemm(_ a: Tensor, _ b: Tensor) {
    let (rows, inner, columns) = (a.shape[0], a.shape[1], b.shape[1])
    openblas_set_num_threads(Int32(clamping: ComputePool.threads))
    defer { openblas_set_num_threads(1) }
    a.withUnsafe { a in
      b.withUnsafe { b in
        _ = Tensor([rows, columns]) { c in
          cblas_sgemm(
            CblasRowMajor, CblasNoTrans, CblasNoTrans, blasint(rows), blasint(columns), blasint(inner), 1,
            a.baseAddress,
            blasint(inner), b.baseAddress, blasint(columns), 0, c.baseAddress, blasint(columns))
        }
      }
    }
  }

  /// Numbers of about -1…1 that repeat after 997.
  static func numbers(_ shape: [Int]) -> Tensor {
    let count = shape.reduce(1, *)
    return Tensor(shape, (0..<count).map { Float($0 * 631 % 997) / 498 - 1 })
  }
}

extension KernelBench {
  /// A kernel of `ck_kernels` at one size.
  private struct Loop {
    let name: String
    /// What it reads and writes.
    let bytes: Int
    /// Calls it, on memory that `Scratch` filled anew.
    let call: (ck_kernels, Scratch) -> Void
  }

  /// Memory for a kernel: two arrays of numbers, and one to write to. Stored numbers are finite in all formats.
  private final class Scratch {
    static let count = 1 << 22
    let x = UnsafeMutablePointer<Float>.allocate(capacity: count)
    let y = UnsafeMutablePointer<Float>.allocate(capacity: count)
    let out = UnsafeMutablePointer<Float>.allocate(capacity: count)
    let stored = UnsafeMutableRawPointer.allocate(byteCount: 4 * count, alignment: 64)

    init() {
      for i in 0..<Self.count { y[i] = Float(i * 631 % 997) / 498 - 1 }
      out.initialize(repeating: 0, count: Self.count)
      for i in 0..<4 * Self.count {
        stored.storeBytes(of: UInt8(truncatingIfNeeded: i * 37) & 0x3b, toByteOffset: i, as: UInt8.self)
      }
      x.initialize(from: y, count: Self.count)
    }

    /// Kernels that work in place would otherwise see ever smaller numbers.
    func refill(_ bytes: Int) { x.update(from: y, count: min(Self.count, bytes / 4)) }

    deinit {
      x.deallocate()
      y.deallocate()
      out.deallocate()
      stored.deallocate()
    }
  }

  /// Each on one thread.
  private func loops() -> [Row] {
    var pointers = [UnsafePointer<ck_kernels>?](repeating: nil, count: 3)
    let found = ck_available(&pointers, pointers.count)
    let sets = pointers.prefix(found).compactMap { $0?.pointee }
    let scratch = Scratch()
    return Self.all.flatMap { loop in
      var scalar: Double?
      return sets.map { set in
        let seconds = fastest({ scratch.refill(loop.bytes) }) { loop.call(set, scratch) }
        let base = scalar ?? seconds
        scalar = base
        return Row(
          kernel: loop.name, set: String(cString: set.name), milliseconds: seconds * 1000,
          rate: Double(loop.bytes) / seconds / 1e9, unit: "GB/s", timesScalar: base / seconds, timesSgemm: nil)
      }
    }
  }

  private static var all: [Loop] {
    let (window, stripe) = (196 * 3072, 14 * 4096)
    return [
      Loop(name: "gelu 196×3072 (a window's MLP)", bytes: 8 * window) { $0.gelu($1.x, window) },
      Loop(name: "relu 196×3072", bytes: 8 * window) { $0.relu($1.x, window) },
      Loop(name: "add 196×3072", bytes: 12 * window) { $0.add($1.x, $1.y, window) },
      Loop(name: "add_row 196×3072", bytes: 8 * window) { $0.add_row($1.x, $1.y, 196, 3072) },
      Loop(name: "scale_shift_rows 4096×256", bytes: 8 << 20) { $0.scale_shift_rows($1.x, $1.y, $1.y, 4096, 256) },
      Loop(name: "layer_norm 4096×768", bytes: 8 * 4096 * 768) {
        $0.layer_norm($1.x, $1.y, $1.y, 1e-6, $1.out, 4096, 768)
      },
      Loop(name: "rms_norm 1024×4096 (LLaMA)", bytes: 8 << 22) { $0.rms_norm($1.x, $1.y, 1e-5, $1.out, 1024, 4096) },
      Loop(name: "silu_multiply 11008×64 (LLaMA)", bytes: 12 * 11008 * 64) { $0.silu_multiply($1.x, $1.y, 11008 * 64) },
      Loop(name: "softmax_rows 14×4096 (a strip of global attention)", bytes: 8 * stripe) {
        $0.softmax_rows($1.x, 14, 4096)
      },
      Loop(name: "softmax_step 14×512", bytes: 8 * 14 * 512) { set, memory in
        memory.out.update(repeating: -.infinity, count: 14)
        set.softmax_step(memory.x, 14, 512, 512, memory.out, memory.out + 64, memory.out + 128)
      },
      Loop(name: "softmax_columns 8×7×256 (decoder)", bytes: 8 * 8 * 7 * 256) { $0.softmax_columns($1.x, 8, 7, 256) },
      depthwise(3, width: 128, channels: 512, "TinyViT"), depthwise(7, width: 128, channels: 192, "ConvNeXt-L"),
      Loop(name: "dot_rows 4096, 1 row", bytes: 8 * 4096) { $0.dot_rows($1.x, $1.y, 1, 4096, $1.out, 1) },
      Loop(name: "dequantize_f16 4096×64", bytes: 6 << 18) { $0.dequantize_f16($1.stored, $1.out, 1 << 18) },
      Loop(name: "dequantize_q8_0 4096×64", bytes: 5 << 18) { $0.dequantize_q8_0($1.stored, $1.out, 1 << 18) },
      Loop(name: "dequantize_q4_0 4096×64", bytes: 9 << 17) { $0.dequantize_q4_0($1.stored, $1.out, 1 << 18) },
      Loop(name: "blend 1024", bytes: 12 << 10) { $0.blend($1.x, $1.y, 0.3, $1.out, 1024) },
    ]
  }

  private static func depthwise(_ side: Int, width: Int, channels: Int, _ model: String) -> Loop {
    Loop(
      name: "depthwise_row \(side)×\(side), \(width)×\(channels) (\(model))",
      bytes: 4 * (side + 1) * width * channels
    ) { set, memory in
      var rows = (0..<side).map { Optional(UnsafePointer(memory.x + $0 * width * channels)) }
      set.depthwise_row(&rows, width, channels, memory.y, memory.y, side, 1, side / 2, memory.out, width)
    }
  }
}
