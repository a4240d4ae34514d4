// A seamless backdrop; where a ray meets the floor, the figure's shadow falls on it.
uniform mat4 screen_to_world;
uniform float ground;
uniform vec3 top_colour, bottom_colour;
uniform float glow, shadow, contact;
uniform vec2 feet[2];
in vec2 screen;
out vec4 colour;

void main() {
    vec3 backdrop = mix(bottom_colour, top_colour, 0.5 + 0.5 * screen.y);
    backdrop *= 1.0 + glow * (exp(-dot(screen, screen)) - 0.5);
    vec4 far_point = screen_to_world * vec4(screen, 1.0, 1.0);
    vec3 ray = normalize(far_point.xyz / far_point.w - eye);
    if (ray.z < -1e-4) {
        vec3 point = eye + ray * (ground - eye.z) / ray.z;
        // The backdrop curves up behind the figure, so the floor's shadows fade there.
        float floor_share = smoothstep(3.0, 1.2, point.y);
        float hidden = 1.0 - lit(point, vec3(0.0, 0.0, 1.0), 0.012 + 0.03 * softness);
        float under = 0.0;
        for (int i = 0; i < 2; i++) {
            vec2 from = point.xy - feet[i];
            under = max(under, exp(-dot(from, from) / 0.012) + 0.4 * exp(-dot(from, from) / 0.1));
        }
        backdrop *= 1.0 - floor_share * (1.0 - (1.0 - shadow * hidden) * (1.0 - contact * min(under, 1.0)));
    }
    colour = vec4(clamp(backdrop, 0.0, 1.0), 1.0);
}
