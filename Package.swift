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

    tests(of: "Tensors", ["Tensors", "CKernels"]),
    tests(of: "Checkpoints", ["Checkpoints"], fixtures: true),
    tests(
      of: "SegmentAnything", ["SegmentAnything", "Imaging", "Masks", "Tensors", "Checkpoints"], fixtures: true),
    tests(of: "Masks", ["Masks"], fixtures: true),
    tests(of: "Imaging", ["Imaging", "Masks"], fixtures: true),
    tests(of: "Osprey", ["Osprey", "Layers", "Imaging", "Masks", "Tensors", "Checkpoints"], fixtures: true),
  ]
)
