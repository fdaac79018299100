// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]
let strictC: [CSetting] = [.treatAllWarnings(as: .error)]

/// A Swift target of this house: language mode 6, warnings are errors.
func room(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

/// The tests of one room.
func tests(of name: String, _ dependencies: [Target.Dependency], fixtures: Bool = false) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: dependencies, resources: fixtures ? [.copy("Fixtures")] : [],
    swiftSettings: strict)
}

let package = Package(
  name: "pandion",
  platforms: [.macOS(.v15)],
  products: [.executable(name: "pandion", targets: ["pandion"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // Data goes one way down this list and never back.
    .target(name: "CKernels", cSettings: strictC),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    room("Tensors", ["CKernels", "COpenBLAS"]),
    room("Checkpoints", ["Tensors"]),
    room("Layers", ["Tensors", "Checkpoints"]),
    room("Masks", []),
    .target(
      name: "CImageCodecs", cSettings: strictC, linkerSettings: [.linkedLibrary("png"), .linkedLibrary("jpeg")]),
    room("Imaging", ["CImageCodecs", "Masks"]),
    room("SegmentAnything", ["Layers", "Imaging", "Masks", "Tensors", "Checkpoints"]),
    room("Osprey", ["Layers", "Imaging", "Masks", "Tensors", "Checkpoints"]),
    // Found without pkg-config: Debian's libzmq.pc carries flags that SwiftPM warns about.
    .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
    room("ZeroMQ", ["CZeroMQ"]),
    .systemLibrary(name: "CSystem"),
    room("Wire", ["Masks"]),
    room(
      "Daemon",
      [
        "SegmentAnything", "Osprey", "ZeroMQ", "CSystem", "Wire", "Imaging", "Masks", "Tensors", "Checkpoints",
        .product(name: "Crypto", package: "swift-crypto"),
      ]),
    .executableTarget(
      name: "pandion",
      dependencies: [
        "Daemon", "CKernels", "COpenBLAS", "CSystem",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Yams", package: "Yams"),
      ],
      swiftSettings: strict),

    tests(of: "Tensors", ["Tensors", "CKernels"]),
    tests(of: "Checkpoints", ["Checkpoints"], fixtures: true),
    tests(
      of: "SegmentAnything", ["SegmentAnything", "Imaging", "Masks", "Tensors", "Checkpoints"], fixtures: true),
    tests(of: "Osprey", ["Osprey", "Layers", "Imaging", "Masks", "Tensors", "Checkpoints"], fixtures: true),
    tests(of: "Masks", ["Masks"], fixtures: true),
    tests(of: "Imaging", ["Imaging", "Masks"], fixtures: true),
    tests(of: "ZeroMQ", ["ZeroMQ"]),
    tests(of: "Wire", ["Wire", "Masks"]),
    tests(of: "Fuzz", ["Checkpoints", "Masks", "Imaging", "Osprey", "Wire", "pandion"]),
    tests(of: "Daemon", ["Daemon", "Osprey", "Wire", "ZeroMQ", "Imaging", "Masks"]),
    tests(of: "pandion", ["pandion", "Wire", "Masks", "Daemon", "Imaging"]),
  ]
)
