// Cloth: print, creases, shine, a border along the edges.
uniform int cut;            // index of the garment, or -1 for a skirt, which has its own grid
uniform sampler2D print_map;
uniform sampler2D crease_map;
uniform float tile;         // metres that the print's tile covers
uniform float shine, creases;
uniform vec4 border;        // colour and whether there is one
uniform vec3 girth;         // metres of print per radian around trunk, arm and leg
uniform vec2 opening;       // for a skirt: half the angle that is open at the front
uniform vec3 shoulder, elbow, wrist, hip, ankle;
uniform float crotch, middle;
in vec3 world_position, world_normal, rest_position;
in vec2 surface_coordinates, surface_edges;
out vec4 colour;

// Metres of cloth (around, along) on trunk, arm or leg: each is a tube on which the print lies straight.
vec2 on_cloth(vec3 rest, float arm) {
    float side = sign(rest.x + 1e-6);
    vec3 mirrored = vec3(abs(rest.x), rest.yz);
    if (arm > -0.17) {
        // Two straight tubes that meet at the elbow, across the line that halves its angle.
        vec3 upper = normalize(elbow - shoulder), lower = normalize(wrist - elbow);
        bool past = dot(mirrored - elbow, upper + lower) > 0.0;
        vec3 axis = past ? lower : upper;
        vec3 from = mirrored - elbow;
        float along = dot(from, axis);
        vec3 off = from - along * axis;
        vec3 front = normalize(vec3(0.0, -1.0, 0.0) + axis * axis.y);
        return vec2(atan(dot(off, cross(front, axis)), dot(off, front)) * girth.y * side, -along);
    }
    if (rest.z < crotch) {
        vec3 line = mix(ankle, hip, clamp((rest.z - ankle.z) / (hip.z - ankle.z), 0.0, 1.0));
        return vec2(atan((mirrored.x - line.x), -(rest.y - line.y)) * girth.z * side, rest.z);
    }
    return vec2(atan(rest.x, -(rest.y - middle)) * girth.x, rest.z);
}

void main() {
    vec3 view = normalize(eye - world_position);
    vec3 normal = normalize(world_normal);
    bool inner = dot(normal, view) < 0.0;
    if (inner) normal = -normal;

    float edge;
    vec2 metres;
    if (cut >= 0) {
        edge = inside_cut(cut, rest_position, surface_coordinates.x);
        metres = on_cloth(rest_position, surface_coordinates.x);
    } else {
        edge = surface_edges.y;
        metres = surface_coordinates;
    }
    // The print's coordinates jump at the seam at the back, so a change that is too large is replaced by a small one.
    vec2 change_x = dFdx(metres), change_y = dFdy(metres);
    if (edge < 0.0) discard;
    if (max(abs(change_x.x), abs(change_y.x)) > 0.15) change_x.x = change_y.x = 0.004;
    vec3 albedo = to_linear(textureGrad(print_map, metres / tile, change_x / tile, change_y / tile).rgb);

    // Creases: a height map gives slopes, from its change over the picture (Mikkelsen, 2010).
    vec2 where = metres * vec2(2.6, cut >= 0 ? 1.6 : 0.7);
    float height = textureGrad(crease_map, where, change_x * 3.0, change_y * 3.0).r;
    vec3 step_x = dFdx(world_position), step_y = dFdy(world_position);
    vec3 first = cross(step_y, normal), second = cross(normal, step_x);
    float area = dot(step_x, first);
    float rise_x = clamp(dFdx(height), -0.25, 0.25), rise_y = clamp(dFdy(height), -0.25, 0.25);
    vec3 slope = sign(area) * (rise_x * first + rise_y * second) * 0.016 * creases;
    normal = normalize(abs(area) * normal - slope);

    float open = mix(1.0, 0.55 + 0.5 * height, 0.45 * creases);
    open *= 1.0 - 0.25 * smoothstep(0.006, 0.0, edge);
    if (border.a > 0.5 && edge < 0.016) albedo = to_linear(border.rgb);
    if (inner) open *= 0.55;
    float sharpness = mix(6.0, 30.0, shine);
    float gloss = mix(0.02, 0.3, shine);
    // Fibres catch light at grazing angles.
    albedo *= 1.0 + 0.18 * (1.0 - shine) * pow(1.0 - max(dot(normal, view), 0.0), 3.0);
    colour = finish(shade(albedo, world_position, normal, 0.15, gloss, sharpness, open));
}
