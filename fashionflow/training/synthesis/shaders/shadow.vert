// Depth as the key light sees it.
uniform mat4 light_view;
uniform mat4 model;
in vec3 position;

void main() {
    gl_Position = light_view * model * vec4(position, 1.0);
}
