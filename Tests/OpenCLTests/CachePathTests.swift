import COpenCL
import OpenCL
import Testing

@Suite("The cache's place")
struct CachePathTests {
  /// `attention_cache_path` in Swift's types.
  func path(setting: String?, xdg: String?, home: String?, room: Int = 4096) -> String? {
    var characters = [CChar](repeating: 1, count: room)
    func call(_ setting: UnsafePointer<CChar>?, _ xdg: UnsafePointer<CChar>?, _ home: UnsafePointer<CChar>?) -> Int {
      attention_cache_path(setting, xdg, home, &characters, room)
    }
    func with(_ string: String?, _ body: (UnsafePointer<CChar>?) -> Int) -> Int {
      string.map { $0.withCString(body) } ?? body(nil)
    }
    let length = with(setting) { setting in with(xdg) { xdg in with(home) { home in call(setting, xdg, home) } } }
    #expect(room == 0 || characters[length] == 0)
    return length == 0 ? nil : String(decoding: characters.prefix(length).map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  @Test("follows the environment")
  func environment() {
    #expect(path(setting: nil, xdg: "/x", home: "/h") == "/x/swift-attention")
    #expect(path(setting: nil, xdg: nil, home: "/h") == "/h/.cache/swift-attention")
    #expect(path(setting: nil, xdg: "relative", home: "/h") == "/h/.cache/swift-attention")
    #expect(path(setting: nil, xdg: "", home: "/h") == "/h/.cache/swift-attention")
    #expect(path(setting: nil, xdg: nil, home: nil) == nil)
    #expect(path(setting: nil, xdg: nil, home: "relative") == nil)
  }

  @Test("is nowhere when turned off")
  func off() {
    #expect(path(setting: "off", xdg: "/x", home: "/h") == nil)
    #expect(path(setting: "on", xdg: "/x", home: "/h") == "/x/swift-attention")
    #expect(path(setting: "", xdg: "/x", home: "/h") == "/x/swift-attention")
  }

  @Test("is nowhere if it does not fit")
  func room() {
    #expect(path(setting: nil, xdg: "/x", home: nil, room: 19) == "/x/swift-attention")
    #expect(path(setting: nil, xdg: "/x", home: nil, room: 18) == nil)
    #expect(path(setting: nil, xdg: "/x", home: nil, room: 0) == nil)
  }

  @Test("of a program is what was asked for")
  func choices() {
    #expect(ProgramCache.none.path == nil)
    #expect(ProgramCache.directory("/a b").path == "/a b")
  }
}
