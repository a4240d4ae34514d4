// Light on a surface. Colours are linear; `finish` makes them sRGB.
uniform vec3 eye;
uniform vec3 key, fill, rim;
uniform vec3 key_colour, fill_colour, rim_colour, above, below;
uniform float softness;
uniform mat4 light_view;
uniform sampler2DShadow shadow_map;

// Eight points of a disc, so that shadow edges are soft without a pattern.
const vec2 DISC[8] = vec2[8](
    vec2(0.35, 0.10), vec2(-0.32, 0.28), vec2(-0.15, -0.45), vec2(0.42, -0.55),
    vec2(0.80, 0.45), vec2(-0.85, -0.15), vec2(0.05, 0.85), vec2(-0.50, -0.80)
);

// How much of the key light reaches a point, 0 to 1.
float lit(vec3 point, vec3 normal, float spread) {
    vec3 seen = (light_view * vec4(point + normal * 0.012, 1.0)).xyz * 0.5 + 0.5;
    if (any(lessThan(seen, vec3(0.0))) || any(greaterThan(seen, vec3(1.0)))) return 1.0;
    float total = 0.0;
    for (int i = 0; i < 8; i++) total += texture(shadow_map, vec3(seen.xy + DISC[i] * spread, seen.z - 0.004));
    return total / 8.0;
}

// `wrap` lets light reach around the edge of the shadow (skin, wool); `gloss` and `sharpness` belong to the highlight.
vec3 shade(vec3 colour, vec3 point, vec3 normal, float wrap, float gloss, float sharpness, float open) {
    vec3 view = normalize(eye - point);
    float reach = lit(point, normal, 0.004 + 0.012 * softness);
    float facing_key = max((dot(normal, key) + wrap) / (1.0 + wrap), 0.0) * reach;
    float facing_fill = max((dot(normal, fill) + 0.3) / 1.3, 0.0);
    float edge = pow(1.0 - max(dot(normal, view), 0.0), 2.0);
    float facing_rim = max(dot(normal, rim), 0.0) * (0.35 + edge);
    vec3 light = mix(below, above, 0.5 + 0.5 * normal.z) * open;
    light += key_colour * facing_key + (fill_colour * facing_fill + rim_colour * facing_rim) * mix(1.0, open, 0.5);
    float shine = gloss * pow(max(dot(normal, normalize(key + view)), 0.0), sharpness) * reach;
    shine += 0.35 * gloss * pow(max(dot(normal, normalize(fill + view)), 0.0), sharpness);
    return colour * light + shine * key_colour * 1.4;
}

vec3 to_linear(vec3 colour) { return pow(colour, vec3(2.2)); }

vec4 finish(vec3 light) {
    // A soft shoulder keeps highlights from clipping at once.
    vec3 rolled = mix(light, 1.0 - exp(-light * 1.15), smoothstep(0.6, 1.4, light));
    return vec4(pow(clamp(rolled, 0.0, 1.0), vec3(1.0 / 2.2)), 1.0);
}
