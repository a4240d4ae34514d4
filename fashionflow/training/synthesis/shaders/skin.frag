// Skin and eyes. Skin under clothes is left out, so that it cannot show through them.
uniform sampler2D skin_map;
uniform vec2 under_skirt;  // heights between which a skirt hides everything
uniform vec3 eye_centre;   // of the left eye, rest pose
uniform vec3 brow_colour;
uniform vec3 iris_colour;
in vec3 world_position, world_normal, rest_position;
in vec2 surface_coordinates, surface_edges;
out vec4 colour;

// The amount of eyebrow at a point: an arch over each eye.
float brow(vec3 rest) {
    vec2 from = vec2(abs(rest.x), rest.z) - eye_centre.xz - vec2(0.001, 0.0215);
    float arch = from.y + 9.0 * from.x * from.x - 0.12 * from.x;
    float thin = mix(0.0032, 0.0016, smoothstep(-0.01, 0.022, from.x));
    return smoothstep(thin + 0.002, thin - 0.001, abs(arch)) * smoothstep(0.025, 0.02, abs(from.x))
        * step(rest.y, eye_centre.y + 0.01);
}

void main() {
    vec3 view = normalize(eye - world_position);
    vec3 normal = normalize(world_normal);
    if (surface_coordinates.x < -1.0) {
        float to_pupil = -surface_coordinates.y - 1.0;
        vec3 white = vec3(0.80, 0.78, 0.76);
        vec3 ball = to_pupil > 0.975 ? vec3(0.02) : to_pupil > 0.88 ? iris_colour : white;
        colour = finish(shade(to_linear(ball), world_position, normal, 0.1, 0.25, 60.0, 0.75));
        return;
    }
    float nearest = -1.0;
    for (int k = 0; k < num_cuts; k++) nearest = max(nearest, inside_cut(k, rest_position, surface_edges.x));
    bool hidden = surface_edges.x < -0.2 && rest_position.z > under_skirt.x && rest_position.z < under_skirt.y;
    if (nearest > 0.02 || hidden) discard;
    vec3 albedo = texture(skin_map, surface_coordinates).rgb;
    albedo = mix(albedo, brow_colour, 0.75 * brow(rest_position));
    vec3 cheek = vec3(abs(rest_position.x), rest_position.yz) - eye_centre - vec3(0.012, 0.0, -0.035);
    albedo *= 1.0 - vec3(0.0, 0.12, 0.1) * exp(-dot(cheek.xz, cheek.xz) / 0.0003) * step(rest_position.y, eye_centre.y + 0.02);
    float open = 1.0 - 0.4 * smoothstep(-0.03, 0.004, nearest);
    vec3 light = shade(to_linear(albedo), world_position, normal, 0.35, 0.05, 14.0, open);
    // Light that has passed under the skin looks red where the surface turns away.
    light += to_linear(albedo) * vec3(0.10, 0.02, 0.01) * pow(1.0 - max(dot(normal, view), 0.0), 2.0);
    colour = finish(light);
}
