// Draws a film by WebGL2: its levels as a 16-bit integer texture, grey from a table, the heatmap over it.

const VERTEX = `#version 300 es
void main() {
  // One triangle that covers the canvas.
  gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0);
}`

const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2D;
uniform usampler2D film;
uniform sampler2D tone;
uniform sampler2D heat;
uniform float height;
uniform vec2 origin;
uniform vec4 axes;
uniform vec2 size;
uniform float shrink;
uniform float opacity;
uniform bool padded;
uniform vec4 lens;
uniform vec3 amber;
uniform vec3 red;
out vec4 colour;

float grey(uint level) {
  return texelFetch(tone, ivec2(int(level & 255u), int(level >> 8)), 0).r;
}

void main() {
  vec2 at = vec2(gl_FragCoord.x, height - gl_FragCoord.y);
  vec2 off = at - lens.xy;
  if (dot(off, off) < lens.z * lens.z) at = lens.xy + off / lens.w;
  vec2 place = origin + axes.xz * at.x + axes.yw * at.y;
  if (any(lessThan(place, vec2(0.0))) || any(greaterThanEqual(place, size))) {
    colour = vec4(0.0, 0.0, 0.0, 1.0);
    return;
  }
  ivec2 last = textureSize(film, 0) - 1;
  vec2 texel = clamp(place * shrink - 0.5, vec2(0.0), vec2(last));
  ivec2 low = ivec2(texel);
  ivec2 high = min(low + 1, last);
  vec2 t = texel - vec2(low);
  uint a = texelFetch(film, low, 0).r;
  uint b = texelFetch(film, ivec2(high.x, low.y), 0).r;
  uint c = texelFetch(film, ivec2(low.x, high.y), 0).r;
  uint d = texelFetch(film, high, 0).r;
  float shown;
  if (padded && (a == 0u || b == 0u || c == 0u || d == 0u)) {
    shown = grey(t.y < 0.5 ? (t.x < 0.5 ? a : b) : (t.x < 0.5 ? c : d));
  } else {
    float level = mix(mix(float(a), float(b), t.x), mix(float(c), float(d), t.x), t.y);
    uint below = uint(level);
    shown = mix(grey(below), grey(min(below + 1u, 65535u)), level - float(below));
  }
  vec3 pixel = vec3(shown);
  if (opacity > 0.0) {
    float support = texture(heat, place / size).r;
    pixel = mix(pixel, mix(amber, red, support), support * opacity);
  }
  colour = vec4(pixel, 1.0);
}`

const UNIFORMS = ["film", "tone", "heat", "height", "origin", "axes", "size", "shrink", "opacity", "padded", "lens"]

// A painter: setFilm, setTone, setHeat, draw, free. Null where the browser has no WebGL2, where the film is too large for
// it, or where a processor would do the work of a graphics card: then canvas.js is about ten times as fast.
function webglPainter(canvas, largest) {
  const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false })
  if (!gl) return null
  if (largest > gl.getParameter(gl.MAX_TEXTURE_SIZE) || drawnByProcessor(gl)) {
    gl.getExtension("WEBGL_lose_context")?.loseContext()
    return null
  }
  const program = linked(gl)
  gl.useProgram(program)
  const at = Object.fromEntries(UNIFORMS.map((name) => [name, gl.getUniformLocation(program, name)]))
  gl.uniform3fv(gl.getUniformLocation(program, "amber"), AMBER.map((part) => part / 255))
  gl.uniform3fv(gl.getUniformLocation(program, "red"), RED.map((part) => part / 255))
  gl.uniform1i(at.film, 0)
  gl.uniform1i(at.tone, 1)
  gl.uniform1i(at.heat, 2)
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1)
  const tone = texture(gl, 1, gl.NEAREST)
  gl.texStorage2D(gl.TEXTURE_2D, 1, gl.R8, 256, 256)
  const heat = texture(gl, 2, gl.LINEAR)
  gl.texStorage2D(gl.TEXTURE_2D, 1, gl.R16F, HEAT_SIDE, HEAT_SIDE)
  let source = null
  let films = [] // textures of the pyramid's steps, made when first drawn

  function step(number) {
    gl.activeTexture(gl.TEXTURE0)
    if (films[number]) return gl.bindTexture(gl.TEXTURE_2D, films[number])
    const { levels, width, height } = source.pyramid[number]
    films[number] = texture(gl, 0, gl.NEAREST)
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.R16UI, width, height)
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RED_INTEGER, gl.UNSIGNED_SHORT, levels)
  }

  function forget() {
    for (const one of films) if (one) gl.deleteTexture(one)
    films = []
  }

  return {
    kind: "WebGL2",
    setFilm(decoded) {
      if (source === decoded) return
      forget()
      source = decoded
    },
    setTone(table) {
      gl.activeTexture(gl.TEXTURE1)
      gl.bindTexture(gl.TEXTURE_2D, tone)
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, 256, 256, gl.RED, gl.UNSIGNED_BYTE, table)
    },
    setHeat(field) {
      if (!field) return
      gl.activeTexture(gl.TEXTURE2)
      gl.bindTexture(gl.TEXTURE_2D, heat)
      gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, HEAT_SIDE, HEAT_SIDE, gl.RED, gl.FLOAT, field)
    },
    draw(place, opacity, padded, lens) {
      const number = stepOfPyramid(place.scale, source.pyramid)
      step(number)
      gl.viewport(0, 0, canvas.width, canvas.height)
      gl.uniform1f(at.height, canvas.height)
      gl.uniform2f(at.origin, place.ox, place.oy)
      gl.uniform4f(at.axes, place.ax, place.bx, place.ay, place.by)
      gl.uniform2f(at.size, source.width, source.height)
      gl.uniform1f(at.shrink, 1 / 2 ** number)
      gl.uniform1f(at.opacity, opacity)
      gl.uniform1i(at.padded, padded ? 1 : 0)
      gl.uniform4f(at.lens, lens?.x ?? 0, lens?.y ?? 0, lens?.radius ?? 0, lens?.power ?? 1)
      gl.drawArrays(gl.TRIANGLES, 0, 3)
    },
    free() {
      forget()
      gl.getExtension("WEBGL_lose_context")?.loseContext()
    },
  }
}

function drawnByProcessor(gl) {
  const info = gl.getExtension("WEBGL_debug_renderer_info")
  const name = info ? gl.getParameter(info.UNMASKED_RENDERER_WEBGL) : ""
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name)
}

function texture(gl, unit, filter) {
  const made = gl.createTexture()
  gl.activeTexture(gl.TEXTURE0 + unit)
  gl.bindTexture(gl.TEXTURE_2D, made)
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, filter)
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, filter)
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE)
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE)
  return made
}

function linked(gl) {
  const program = gl.createProgram()
  for (const [kind, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
    const shader = gl.createShader(kind)
    gl.shaderSource(shader, source)
    gl.compileShader(shader)
    gl.attachShader(program, shader)
  }
  gl.linkProgram(program)
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
    const shaders = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader))
    throw new Error(`The film can't be drawn by this browser's graphics: ${shaders.join(" ").trim()}`)
  }
  return program
}
