// Hair (strands along a coordinate) and shoes (upper and sole).
uniform bool strands;
uniform vec3 main_colour, sole_colour;
uniform float sole;   // metres
in vec3 world_position, world_normal, rest_position;
in vec2 surface_coordinates, surface_edges;
out vec4 colour;

float noise(float x) {
    float whole = floor(x), part = fract(x);
    float first = fract(sin(whole * 12.9898) * 43758.5453), second = fract(sin((whole + 1.0) * 12.9898) * 43758.5453);
    return mix(first, second, part * part * (3.0 - 2.0 * part));
}

void main() {
    vec3 view = normalize(eye - world_position);
    vec3 normal = normalize(world_normal);
    bool inner = dot(normal, view) < 0.0;
    if (inner) normal = -normal;
    vec3 albedo;
    if (strands) {
        float strand = 0.6 * noise(surface_coordinates.x * 150.0) + 0.4 * noise(surface_coordinates.x * 610.0);
        if (surface_coordinates.y < 0.012 * strand) discard;
        albedo = main_colour * (0.6 + 0.65 * strand);
        normal = normalize(normal + 0.25 * (strand - 0.5));
        colour = finish(shade(to_linear(albedo), world_position, normal, 0.2, 0.05, 14.0, inner ? 0.5 : 0.85));
    } else {
        albedo = surface_coordinates.y < sole ? sole_colour : main_colour;
        colour = finish(shade(to_linear(albedo), world_position, normal, 0.05, 0.14, 30.0, 0.85));
    }
}
