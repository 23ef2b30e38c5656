internal import COpenCL

/// One OpenCL implementation on this machine, as the loader lists them.
public struct Platform: Sendable, Hashable {
  /// Its place in the loader's order, from 0.
  public let index: Int

  /// Its name, such as "Portable Computing Language".
  public let name: String

  /// Who made it.
  public let vendor: String

  /// "OpenCL", the version it implements, and words of its own.
  public let version: String

  /// Its devices in its own order. Empty if it has none.
  public let devices: [Device]

  /// Why devices of this platform may be missing from `devices`; nil if nothing went wrong.
  ///
  /// One broken driver must not hide the others, so what it answered is kept here instead of being thrown.
  public let failure: OpenCLError?
}

extension Platform {
  /// Every platform of this machine, found once a process.
  ///
  /// Once, because PoCL's first query of devices races with itself when several threads make it.
  public static let discovered: Result<[Platform], OpenCLError> = Result { () throws(OpenCLError) in try discover() }

  /// Every platform of this machine; an empty list if no driver is installed.
  ///
  /// The answer of the first call stands for the life of the process.
  ///
  /// - Throws: `OpenCLError` if the loader cannot list the platforms.
  public static func all() throws(OpenCLError) -> [Platform] {
    try discovered.get()
  }

  private static func discover() throws(OpenCLError) -> [Platform] {
    var count: cl_uint = 0
    let status = OpenCLStatus(rawValue: clGetPlatformIDs(0, nil, &count))
    if status == .platformNotFound || (status.isSuccess && count == 0) { return [] }
    guard status.isSuccess else { throw OpenCLError(call: "clGetPlatformIDs", status: status) }
    var found = [cl_platform_id?](repeating: nil, count: Int(count))
    let second = OpenCLStatus(rawValue: clGetPlatformIDs(count, &found, nil))
    guard second.isSuccess else { throw OpenCLError(call: "clGetPlatformIDs", status: second) }

    var platforms: [Platform] = []
    for (index, identifier) in found.enumerated() {
      guard let identifier else { continue }
      platforms.append(Platform(index: index, handle: Handle(raw: identifier)))
    }
    return platforms
  }

  /// Asks one platform for everything. What it fails to answer becomes `failure`.
  private init(index: Int, handle: Handle<HandleKind.Platform>) {
    var failure: OpenCLError?
    func text(_ property: String, _ name: Int32) -> String {
      do throws(OpenCLError) {
        return try Query(call: "clGetPlatformInfo").string(property) { room, place, length in
          clGetPlatformInfo(handle.raw, cl_platform_info(name), room, place, length)
        }
      } catch {
        failure = failure ?? error
        return ""
      }
    }
    self.index = index
    self.name = text("CL_PLATFORM_NAME", CL_PLATFORM_NAME)
    self.vendor = text("CL_PLATFORM_VENDOR", CL_PLATFORM_VENDOR)
    self.version = text("CL_PLATFORM_VERSION", CL_PLATFORM_VERSION)

    var devices: [Device] = []
    do throws(OpenCLError) {
      for (place, identifier) in try Self.deviceHandles(of: handle, platformName: name).enumerated() {
        do throws(OpenCLError) {
          let info = try DeviceInfo(of: identifier, platformName: name, platformVersion: version)
          devices.append(Device(platformIndex: index, index: place, info: info, handle: identifier, platform: handle))
        } catch {
          failure = failure ?? error
        }
      }
    } catch {
      failure = failure ?? error
    }
    self.devices = devices
    self.failure = failure
  }

  /// The devices of a platform; none if it answers that it has none.
  private static func deviceHandles(
    of platform: Handle<HandleKind.Platform>, platformName: String
  ) throws(OpenCLError) -> [Handle<HandleKind.Device>] {
    // CL_DEVICE_TYPE_ALL is 0xFFFFFFFF in the headers, which Swift reads as an Int64 of that value.
    let all = cl_device_type(CL_DEVICE_TYPE_ALL)
    var count: cl_uint = 0
    let status = OpenCLStatus(rawValue: clGetDeviceIDs(platform.raw, all, 0, nil, &count))
    if status == .deviceNotFound || (status.isSuccess && count == 0) { return [] }
    guard status.isSuccess else {
      throw OpenCLError(call: "clGetDeviceIDs", status: status, detail: "platform \(platformName)")
    }
    var found = [cl_device_id?](repeating: nil, count: Int(count))
    let second = OpenCLStatus(rawValue: clGetDeviceIDs(platform.raw, all, count, &found, nil))
    guard second.isSuccess else {
      throw OpenCLError(call: "clGetDeviceIDs", status: second, detail: "platform \(platformName)")
    }
    return found.compactMap { $0.map(Handle.init(raw:)) }
  }
}
