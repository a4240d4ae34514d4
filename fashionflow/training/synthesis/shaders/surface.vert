// A vertex of the posed body; `model` turns it and moves it along its walk.
uniform mat4 camera;
uniform mat4 model;
in vec3 position;
in vec3 normal;
in vec3 rest;
in vec2 coordinates;
in vec2 edges;
out vec3 world_position;
out vec3 world_normal;
out vec3 rest_position;
out vec2 surface_coordinates;
out vec2 surface_edges;

void main() {
    vec4 placed = model * vec4(position, 1.0);
    world_position = placed.xyz;
    world_normal = mat3(model) * normal;
    rest_position = rest;
    surface_coordinates = coordinates;
    surface_edges = edges;
    gl_Position = camera * placed;
}
