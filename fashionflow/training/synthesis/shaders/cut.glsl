// The area that the garments cover, by the position in the rest pose and the distance along the arm (see garment.py).
const int MOST_CUTS = 4;
uniform int num_cuts;
uniform int neckline[MOST_CUTS];
uniform vec4 neck[MOST_CUTS];   // depth, half width, depth at the back, height
uniform vec4 range[MOST_CUTS];  // lowest, highest, sleeve, opening
uniform vec2 strap[MOST_CUTS];  // middle, half width
uniform float arm_length;
uniform float neck_middle;      // y between throat and nape

// Metres inside the edge of garment `k`; negative where the garment does not cover the body.
float inside_cut(int k, vec3 rest, float arm) {
    float side = abs(rest.x);
    float at_front = smoothstep(0.02, -0.02, rest.y - neck_middle);
    float inside = min(rest.z - range[k].x + max(0.0, arm + 0.28) * 10.0, range[k].y - rest.z);
    inside = min(inside, (range[k].z - arm) * arm_length);
    float depth = mix(neck[k].z, neck[k].x, at_front), width = neck[k].y;
    float below = neck[k].w - rest.z;
    if (neckline[k] == 0) {
        depth = max(depth, 0.01);
        float outside = length(vec2(side / width, max(below, 0.0) / depth)) - 1.0;
        inside = min(inside, outside * min(width, depth));
    } else if (neckline[k] == 1) {
        depth = max(depth, 0.01);
        float outside = side / width + max(below, -0.02) / depth - 1.0;
        inside = min(inside, outside * width * depth / length(vec2(width, depth)));
    } else if (neckline[k] == 2) {
        inside = min(inside, max(side - width, below - depth));
    } else if (neckline[k] == 3) {
        // A soft sweetheart line at the front, straight at the back, and two straps.
        float line = neck[k].x + 0.012 * at_front * cos(side * 45.0);
        inside = min(inside, max(below - line, strap[k].y - abs(side - strap[k].x)));
    } else if (neckline[k] == 4) {
        inside = min(inside, below + 0.055);
    }
    if (range[k].w > 0.0 && rest.y < neck_middle + 0.02) {
        inside = min(inside, side - range[k].w * (1.0 + 0.6 * clamp(below * 2.0, 0.0, 1.0)) + max(0.0, arm + 0.28) * 10.0);
    }
    return inside;
}
